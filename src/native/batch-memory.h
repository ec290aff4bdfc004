#pragma once

#include <cstddef>

namespace toolkit {

/** A piece of memory from malloc. */
struct Block {
  char* data;
  size_t capacity;
};

/**
 * Memory of batches, used again: a batch is large enough for malloc to give its pages back to the system, and to fetch and clear new ones
 * for the next. Any thread may give memory back, V8's collector among them. Keeps a few megabytes at most.
 */
class BatchMemory {
 public:
  /** At least `capacity` bytes; never null. */
  static Block Take(size_t capacity);
  static void GiveBack(Block block);
};

}  // namespace toolkit
