"""`python -m cli` is `packshot`; child processes of `packshot up` start this way."""

from cli.main import app

app(prog_name="packshot")
