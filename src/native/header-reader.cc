#include "header-reader.h"

#include <cstdint>
#include <optional>

#include "raw-headers.h"

namespace toolkit {
namespace {

/** librdkafka takes a message with more to be damaged. */
constexpr int64_t kMostHeaders = 100'000;

/** Calls `put(name, value, size)` for each header of librdkafka's list until it gives false; false then. */
template <typename Put>
bool EachParsed(const rd_kafka_message_t* message, Put put) {
  rd_kafka_headers_t* headers;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  const char* name;
  const void* value;
  size_t size;
  for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
    if (!put(name, value, size)) return false;
  }
  return true;
}

void PutParsed(const rd_kafka_message_t* message, Bytes& bytes) {
  EachParsed(message, [&bytes](const char* name, const void* value, size_t size) {
    const size_t length = std::strlen(name);
    bytes.PutInt32(static_cast<int32_t>(length));
    bytes.Put(name, length);
    bytes.PutInt32(value == nullptr ? -1 : static_cast<int32_t>(size));
    if (value != nullptr) bytes.Put(value, size);
    return true;
  });
}

/** Reads varints and runs of bytes, never past the end. */
class Wire {
 public:
  Wire(const uint8_t* at, size_t length) : at_(at), end_(at + length) {}

  std::optional<int64_t> Varint() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return std::nullopt;
      const uint8_t byte = *at_++;
      number |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return static_cast<int64_t>(number >> 1) ^ -static_cast<int64_t>(number & 1);
    }
    return std::nullopt;
  }

  /** Null when there are not so many. */
  const uint8_t* Take(int64_t length) {
    if (length < 0 || length > end_ - at_) return nullptr;
    const auto* taken = at_;
    at_ += length;
    return taken;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

int32_t ReadInt32(const char*& at) {
  int32_t number;
  std::memcpy(&number, at, sizeof number);
  at += sizeof number;
  return number;
}

char* WriteInt32(char* at, int64_t number) {
  const auto narrow = static_cast<int32_t>(number);
  std::memcpy(at, &narrow, sizeof narrow);
  return at + sizeof narrow;
}

char* WriteBytes(char* at, const uint8_t* from, int64_t length) {
  std::memcpy(at, from, static_cast<size_t>(length));
  return at + length;
}

/** False when the bytes are damaged; then nothing was put. */
bool PutRaw(const uint8_t* data, size_t length, Bytes& bytes) {
  Wire wire(data, length);
  const auto count = wire.Varint();
  if (!count || *count > kMostHeaders) return false;
  if (*count <= 0) return true;
  // Two lengths of at least a byte each become two of four bytes.
  char* at = bytes.Reserve(length + static_cast<size_t>(*count) * 8);
  for (int64_t i = 0; i < *count; i++) {
    const auto name_length = wire.Varint();
    const auto* name = name_length ? wire.Take(*name_length) : nullptr;
    const auto value_length = name == nullptr ? std::nullopt : wire.Varint();
    if (!value_length) return false;
    at = WriteInt32(WriteBytes(WriteInt32(at, *name_length), name, *name_length), *value_length);
    if (*value_length == -1) continue;
    const auto* value = wire.Take(*value_length);
    if (value == nullptr) return false;
    at = WriteBytes(at, value, *value_length);
  }
  bytes.SetEnd(at);
  return true;
}

/** Whether what was put since `start` is what librdkafka's list says. Its names end at a NUL, those of the wire need not. */
bool AgreesWithParsed(const rd_kafka_message_t* message, const Bytes& bytes, size_t start) {
  const char* at = bytes.data() + start;
  const char* end = bytes.data() + bytes.size();
  const bool same = EachParsed(message, [&](const char* name, const void* value, size_t size) {
    if (at == end) return false;
    const int32_t name_length = ReadInt32(at);
    const bool same_name = std::strncmp(name, at, static_cast<size_t>(name_length)) == 0;
    at += name_length;
    const int32_t value_length = ReadInt32(at);
    if (!same_name || value_length != (value == nullptr ? -1 : static_cast<int32_t>(size))) return false;
    const char* own = at;
    if (value_length > 0) at += value_length;
    return value_length <= 0 || std::memcmp(own, value, size) == 0;
  });
  return same && at == end;
}

}  // namespace

void HeaderReader::Put(const rd_kafka_message_t* message, Bytes& bytes) {
  const uint8_t* data;
  const int32_t length = reads_raw_ ? toolkit_raw_headers(message, &data) : -1;
  const size_t start = bytes.size();
  if (length < 0 || !PutRaw(data, static_cast<size_t>(length), bytes)) return PutParsed(message, bytes);
  int& to_check = to_check_[bytes.size() > start];
  if (to_check == 0) return;
  to_check--;
  if (AgreesWithParsed(message, bytes, start)) return;
  reads_raw_ = false;
  bytes.Truncate(start);
  PutParsed(message, bytes);
}

}  // namespace toolkit
