"""Starting the training processes of a stage, and following them."""
