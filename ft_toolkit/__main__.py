"""`python -m ft_toolkit`: the same as `ftk`; launchers such as `accelerate launch -m` need it."""

from ft_toolkit.cli.app import main

main()
