"""Readers of files from untrusted sources: pickles, ``.npy``, ``.npz``, ``torch.save`` archives, safetensors.

The readers execute no code from a file, follow no pointer in it, and check every size before they allocate memory.
Every problem with a file is reported as one short UserError that names the file.
"""
