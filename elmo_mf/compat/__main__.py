"""The `allennlp` script where `.pth` files are not read: `python -m elmo_mf.compat train config.jsonnet -s out`."""

from allennlp.__main__ import run

if __name__ == "__main__":
    run()
