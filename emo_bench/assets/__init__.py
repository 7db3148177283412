"""The only door to weights and data files from elsewhere: where a file is, never a download by surprise."""

from emo_bench.assets.catalogue import Asset, Carrier, find_asset, list_assets
from emo_bench.assets.fetching import add, fetch
from emo_bench.assets.location import AssetFile, locate, require

__all__ = ["Asset", "AssetFile", "Carrier", "add", "fetch", "find_asset", "list_assets", "locate", "require"]
