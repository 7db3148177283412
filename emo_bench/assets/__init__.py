"""The only access to weights and data files from other sources: where a file is, never an unrequested download."""

from emo_bench.assets.asset import PRIOR, Asset, Carrier
from emo_bench.assets.catalogue import broken_plug_ins, find_asset, list_assets
from emo_bench.assets.checksums import sha256_of
from emo_bench.assets.fetching import add, fetch
from emo_bench.assets.location import MISSING, AssetFile, lacking, locate, located, require

__all__ = [
    "MISSING",
    "PRIOR",
    "Asset",
    "AssetFile",
    "Carrier",
    "add",
    "broken_plug_ins",
    "fetch",
    "find_asset",
    "lacking",
    "list_assets",
    "locate",
    "located",
    "require",
    "sha256_of",
]
