"""For whom and by whom: experiments and data management systems."""
