"""A report in each form: HTML, Markdown, LaTeX, the terminal."""
