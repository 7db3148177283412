"""Readers of files that anybody may have made: pickles, ``.npy``, ``.npz``, ``torch.save`` archives, safetensors.

Nothing of a file is executed, no pointer of a file is followed, and every size is checked before memory is taken.
Whatever is wrong with a file is one short UserError that names it.
"""
