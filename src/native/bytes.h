#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "batch-memory.h"

namespace toolkit {

/** Memory that grows as it is written to, and is given away whole. */
class Bytes {
 public:
  explicit Bytes(size_t capacity) : block_(BatchMemory::Take(capacity)) {}
  ~Bytes() {
    if (block_.data != nullptr) BatchMemory::GiveBack(block_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  const char* data() const { return block_.data; }
  size_t size() const { return size_; }

  void Put(const void* from, size_t length) {
    if (length == 0) return;
    std::memcpy(Reserve(length), from, length);
    size_ += length;
  }

  void PutInt32(int32_t number) { Put(&number, sizeof number); }

  /** Where the next bytes go, with room for `length` of them. What is written there counts by `SetEnd`. */
  char* Reserve(size_t length) {
    if (size_ + length > block_.capacity) Resize(std::max(size_ + length, block_.capacity + block_.capacity / 2));
    return block_.data + size_;
  }

  /** Takes over what was written up to `end`, which is within what was reserved last. */
  void SetEnd(const char* end) { size_ = static_cast<size_t>(end - block_.data); }

  /** Forgets what was written after the first `size` bytes. */
  void Truncate(size_t size) { size_ = size; }

  /** Gives the memory away, without what is unused when that is much. */
  Block Release() {
    if (block_.capacity - size_ > size_ / 4) Resize(size_ == 0 ? 1 : size_);
    const Block block = block_;
    block_.data = nullptr;
    return block;
  }

 private:
  void Resize(size_t capacity) {
    auto* data = static_cast<char*>(std::realloc(block_.data, capacity));
    if (data == nullptr) std::abort();
    block_ = {data, capacity};
  }

  Block block_;
  size_t size_ = 0;
};

}  // namespace toolkit
