#pragma once

#include "bytes.h"
#include "rdkafka.h"

namespace toolkit {

/**
 * Copies the headers of consumed messages, in the layout of RecordBatch (src/binding/record-batch.ts).
 *
 * librdkafka parses headers into a list with an allocation for each, and allocates even to find out that there are none. Where its private
 * headers were there to compile against, they are read from the wire's bytes instead. The first messages are read both ways; if that ever
 * gave different answers, librdkafka's own list would be used from then on.
 */
class HeaderReader {
 public:
  void Put(const rd_kafka_message_t* message, Bytes& bytes);

 private:
  bool reads_raw_ = true;
  /** Messages without and with headers that are still read both ways. */
  int to_check_[2] = {16, 16};
};

}  // namespace toolkit
