"""Jobs and files by PanDA's own names, as clients and JEDI send them, and what is made of them."""
