"""Which pairs and paraphrases are set aside, and why; the reason is part of the contract."""

from __future__ import annotations

import pytest

from tasks.synthesis.checks import (
    fault_of_language,
    fault_of_pair,
    fault_of_paraphrase,
    fault_of_question,
    is_grounded,
    normalise,
)

ENGLISH = "The old mill of Kelso was built in 1904 by Tom Ash. It made 3.5 tons of bells a year."
CHINESE = "青川市的石桥建于1904年，由林海设计。桥长3.5公里。"


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        ("Who built the mill of Kelso?", "Tom Ash", None),
        ("When was the mill of Kelso built?", "in 1904", None),
        ("Who built the mill of Kelso?", "by the Tom Ash", None),
        ("?!", "Tom Ash", "question or answer is empty"),
        ("Who built the mill of Kelso?", "...", "question or answer is empty"),
        ("What does the passage say of Kelso?", "Tom Ash", "the question speaks of a text"),
        ("What is in this table?", "Tom Ash", "the question speaks of a text"),
        ("What does the above figure show?", "Tom Ash", "the question speaks of a text"),
        ("According to it, who built it?", "Tom Ash", "the question speaks of a text"),
        ("Who is named in kelso_mill.pdf?", "Tom Ash", "a file name is in it"),
        ("Where is the mill drawn?", "fig-1.PNG", "a file name is in it"),
        ("Which mill did Tom Ash build?", "Tom Ash", "the question holds its answer"),
        ("Who built the mill by Kelso?", "by", None),
        ("When was the mill built?", "1905", "the answer's number 1905 is not in the passage"),
        ("How much did it make?", "35 tons", "the answer's number 35 is not in the passage"),
        ("Who built the mill?", "Mary Lark", "the answer is not in the passage"),
        ("Who built the mill?", "Tom Ashton", "the answer is not in the passage"),
    ],
)
def test_faults_of_english_pairs(question, answer, fault):
    found = fault_of_pair(question, answer, ENGLISH, verbatim=True)
    assert (found is None) if fault is None else found.startswith(fault)


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        ("青川市的石桥由谁设计？", "林海", None),
        ("青川市的石桥建于哪一年？", "1904年", None),
        ("青川市的石桥有多长？", "3.5公里", None),
        ("青川市的石桥建于哪一年？", "１９０４年", None),
        ("？", "林海", "question or answer is empty"),
        ("本文介绍了什么桥？", "石桥", "the question speaks of a text"),
        ("上图中的桥由谁设计？", "林海", "the question speaks of a text"),
        ("青川.pdf由谁设计的桥？", "林海", "a file name is in it"),
        ("林海设计了什么？", "林海", "the question holds its answer"),
        ("林海和王明设计了青川市的石桥吗？", "林海和王明", "the question holds its answer"),
        ("青川市的石桥建于哪一年？", "1905年", "the answer's number 1905 is not in"),
        ("青川市的石桥由谁设计？", "王明", "the answer is not in the passage"),
        ("青川市的石桥建于公元多少年？", "1904", None),
    ],
)
def test_faults_of_chinese_pairs(question, answer, fault):
    found = fault_of_pair(question, answer, CHINESE, verbatim=True)
    assert (found is None) if fault is None else found.startswith(fault)


def test_joined_answer_may_use_other_words_but_no_other_number():
    question = "How long ago and by whom was the mill of Kelso built?"
    assert fault_of_pair(question, "Very long ago, by an expert", ENGLISH, verbatim=False) is None
    found = fault_of_pair(question, "120 years ago", ENGLISH, verbatim=False)
    assert found == "the answer's number 120 is not in the passage"


@pytest.mark.parametrize(
    ("paraphrase", "fault"),
    [
        ("Tom Ash built Kelso's old mill in 1904; a year's yield was 3.5 tons of bells.", None),
        (ENGLISH.upper().replace(".", " ."), "the paraphrase is the passage itself"),
        ("Tom Ash built Kelso's old mill; a year's yield was 3.5 tons.", "lost the number 1904"),
        ("Tom Ash built it in 1904; a year's yield was 35 tons of bells.", "lost the number 3.5"),
        ("Tom Ash, aged 40, built it in 1904. It made 3.5 tons a year.", "invented the number 40"),
        ("Built in 1904, it made 3.5 tons.", "lost more than half"),
    ],
)  # fmt: skip
def test_faults_of_english_paraphrases(paraphrase, fault):
    found = fault_of_paraphrase(paraphrase, ENGLISH)
    assert (found is None) if fault is None else fault in found


@pytest.mark.parametrize(
    ("paraphrase", "fault"),
    [
        ("由林海设计的青川石桥于1904年建成，全长3.5公里。", None),
        (CHINESE.replace("，", ","), "the paraphrase is the passage itself"),
        ("由林海设计的青川石桥早已建成，全长3.5公里。", "lost the number 1904"),
        ("由林海设计的2座青川石桥于1904年建成，全长3.5公里。", "invented the number 2"),
        ("1904年，3.5", "lost more than half"),
    ],
)
def test_faults_of_chinese_paraphrases(paraphrase, fault):
    found = fault_of_paraphrase(paraphrase, CHINESE)
    assert (found is None) if fault is None else fault in found


@pytest.mark.parametrize(
    ("answer", "grounded"),
    [
        ("Tom Ash", True),
        ("TOM  ash.", True),
        ("Ash of Kelso", True),
        ("Yes", True),
        ("mill bells tons year built", True),
        # Four of five content words, then three of five.
        ("mill bells tons year temple", True),
        ("mill bells tons river temple", False),
        ("Ashes", False),
    ],
)
def test_grounded_answers_share_most_content_words(answer, grounded):
    assert is_grounded(answer, ENGLISH) is grounded


def test_normalise_leaves_letters_and_digits_of_one_width():
    assert normalise("  “Ｔｈｅ Mill,”  1_904！桥。") == "the mill 1 904 桥"


@pytest.mark.parametrize(
    "question",
    [
        "What does the second passage add?",
        "Which year do both documents name?",
        "What is in the folder?",
        "What does the diagram compare?",
        "Who is mentioned above?",
        "What is stored in /data/raw/list?",
        "What is stored in ./raw/?",
        "What lies under C:\\Users\\ash?",
        "Who signed mill.csv?",
        "这篇文章的作者是谁？",
        "该图表展示了什么？",
        "上述石桥由谁设计？",
        "根据材料中的说法，谁设计了石桥？",
        "哪个文件记录了石桥？",
        "目录里有什么？",
    ],
)
def test_questions_about_texts_files_and_folders_are_no_questions(question):
    assert fault_of_question(question) is not None


@pytest.mark.parametrize(
    "question",
    [
        "Which document did Tom Ash sign in 1904?",
        "How many texts did Tom Ash write?",
        "What does a passage through the strait cost?",
        "How many km/h does the ferry make?",
        "青川市的石桥有多少张照片？",
    ],
)
def test_questions_that_only_share_such_words_may_stay(question):
    assert fault_of_question(question) is None


@pytest.mark.parametrize(
    ("question", "language", "is_right"),
    [
        ("Who designed 石桥?", "en", True),
        ("谁设计了石桥？", "en", False),
        ("Ada Lark出生在哪里？", "zh", True),
        ("Where was Ada Lark born?", "zh", False),
        ("Où est né Ada?", None, True),
    ],
)
def test_question_in_another_language_needs_words_of_it(question, language, is_right):
    assert (fault_of_language(question, language) is None) is is_right
