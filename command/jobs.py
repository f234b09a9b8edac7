"""`panda-fsm jobs`: jobs are found, looked at, and acted on."""

import typer

from command import look

app = typer.Typer(help="Jobs, live and archived.", no_args_is_help=True)
app.command()(look.show)
