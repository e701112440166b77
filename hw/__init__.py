"""The machine in Amaranth; every block's page in docs/ has the same name as its module."""
