from ._page_data import page_data
from ._write_page import as_json, page, write_page

__all__ = [
    "as_json",
    "page",
    "page_data",
    "write_page",
]
