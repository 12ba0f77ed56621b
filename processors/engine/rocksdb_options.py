"""How RocksDB stores the local state of a partition."""

from __future__ import annotations

from rocksdict import BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, Options

MIB = 1024 * 1024
_MANIFEST_BYTES = 1
"""Size from which a manifest is written again with the next file. It has the first and last key of each file that ever
was, so that it would keep keys that were deleted."""


def store_options(write_buffer_bytes: int, cache_bytes: int, *, windowed: bool) -> Options:
    """Return the options of a store or a bucket; *windowed* if most keys are new."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003  # its only signature
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(64)
    options.set_max_manifest_file_size(_MANIFEST_BYTES)
    if windowed:
        # This spares the search for new keys in the newest entries, which takes longer than in files, because only
        # those have a filter by default.
        options.set_memtable_prefix_bloom_ratio(0.02)
        options.set_memtable_whole_key_filtering(True)
    table = BlockBasedOptions()
    table.set_block_cache(_shared_cache(cache_bytes))
    table.set_bloom_filter(10, False)  # noqa: FBT003
    table.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(table)
    return options


def rewrite_all() -> CompactOptions:
    """Return the options of a compaction that rewrites every file, and lets others run."""
    options = CompactOptions()
    options.set_exclusive_manual_compaction(False)
    options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
    return options


_caches: dict[int, Cache] = {}


def _shared_cache(size_bytes: int) -> Cache:
    """Return the block cache of that size, which all partitions of a process share."""
    if size_bytes not in _caches:
        _caches[size_bytes] = Cache(size_bytes)
    return _caches[size_bytes]
