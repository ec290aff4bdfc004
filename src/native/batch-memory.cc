#include "batch-memory.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <mutex>

namespace toolkit {
namespace {

/** Smaller ones malloc serves well by itself; kept in their many sizes they would only pile up. */
constexpr size_t kSmallestKept = 16 * 1024;
constexpr size_t kLargestKept = 1024 * 1024;
/** The collector frees many batches at once: so much of them is used again. */
constexpr size_t kMostKept = 16 * 1024 * 1024;

struct Kept {
  std::mutex mutex;
  std::deque<Block> blocks;
  size_t bytes = 0;
};

/** Never destroyed: the collector may give memory back while the process ends. */
Kept& KeptBlocks() {
  static auto* kept = new Kept;
  return *kept;
}

}  // namespace

Block BatchMemory::Take(size_t capacity) {
  if (capacity >= kSmallestKept) {
    auto& kept = KeptBlocks();
    std::lock_guard<std::mutex> lock(kept.mutex);
    // One that is much too large would waste what it holds for as long as the batch lives.
    auto fits = [capacity](const Block& block) { return block.capacity >= capacity && block.capacity <= capacity + capacity / 4; };
    // The latest are still in the processor's cache.
    auto found = std::find_if(kept.blocks.rbegin(), kept.blocks.rend(), fits);
    if (found != kept.blocks.rend()) {
      const Block block = *found;
      kept.blocks.erase(std::next(found).base());
      kept.bytes -= block.capacity;
      return block;
    }
  }
  auto* data = static_cast<char*>(std::malloc(capacity == 0 ? 1 : capacity));
  if (data == nullptr) std::abort();
  return {data, capacity};
}

void BatchMemory::GiveBack(Block block) {
  if (block.capacity < kSmallestKept || block.capacity > kLargestKept) return std::free(block.data);
  auto& kept = KeptBlocks();
  std::lock_guard<std::mutex> lock(kept.mutex);
  kept.blocks.push_back(block);
  kept.bytes += block.capacity;
  // The oldest go: sizes that are not asked for any more must not stay.
  for (; kept.bytes > kMostKept; kept.blocks.pop_front()) {
    kept.bytes -= kept.blocks.front().capacity;
    std::free(kept.blocks.front().data);
  }
}

}  // namespace toolkit
