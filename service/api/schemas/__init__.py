"""What the API takes and gives, a module per noun. Built from rows; nothing here reads them."""
