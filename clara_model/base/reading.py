STAGE1_QA = "You are a helpful assistant. Given a document, your task is to generate some single questions to cover all key information of the document and answer them sequentially."
STAGE1_PARAPHRASE = "You are a helpful assistant. Your task is follow the instructions to paraphrase the background information."
ANSWER = "You are a helpful assistant. Your task is to extract relevant information from provided documents and to answer to questions as briefly as possible."
ALL_TEXTS = [STAGE1_QA, STAGE1_PARAPHRASE, ANSWER]
