"""Tables, pictures and one page about finished runs."""
