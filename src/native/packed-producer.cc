#include "packed-producer.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "arguments.h"
#include "borrow.h"
#include "export-class.h"

namespace toolkit {
namespace {

/** Int32 fields a record has in the columns of `produce`. */
constexpr size_t kColumns = 5;
constexpr double kLargestTicket = 9007199254740991.0;

/** Bytes of key, value and headers of a record in the columns of `produce`. */
size_t RecordBytes(const int32_t* record) {
  return static_cast<size_t>(std::max(record[2], 0)) + std::max(record[3], 0) + record[4];
}

/** Headers on their way to librdkafka, which takes them over when the record is accepted. */
class Headers {
 public:
  explicit Headers(rd_kafka_headers_t* headers) : headers_(headers) {}
  ~Headers() {
    if (headers_ != nullptr) rd_kafka_headers_destroy(headers_);
  }
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  rd_kafka_headers_t* get() const { return headers_; }
  void TakenOver() { headers_ = nullptr; }

 private:
  rd_kafka_headers_t* headers_;
};

int32_t Int32At(const char* at) {
  int32_t number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

/** Headers of the layout RecordBatch describes; null when the bytes do not have it. */
rd_kafka_headers_t* ReadHeaders(const char* at, size_t length) {
  auto* headers = rd_kafka_headers_new(4);
  const char* end = at + length;
  while (at < end) {
    if (end - at < 4) break;
    const int32_t name_length = Int32At(at);
    at += 4;
    if (name_length < 0 || end - at < static_cast<int64_t>(name_length) + 4) break;
    const char* name = at;
    at += name_length;
    const int32_t value_length = Int32At(at);
    at += 4;
    if (value_length < -1 || end - at < value_length) break;
    rd_kafka_header_add(headers, name, name_length, value_length < 0 ? nullptr : at, value_length < 0 ? 0 : value_length);
    if (value_length > 0) at += value_length;
    if (at == end) return headers;
  }
  rd_kafka_headers_destroy(headers);
  return nullptr;
}

std::mutex registry_mutex;

}  // namespace

/** The producer of each native client that has one. */
static std::unordered_map<rd_kafka_t*, PackedProducer*>& Registry() {
  static std::unordered_map<rd_kafka_t*, PackedProducer*> registry;
  return registry;
}

PackedProducer::PackedProducer(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake)
    : rk_(rk),
      wake_(std::make_unique<QueueWake>(rd_kafka_queue_get_main(rk), on_wake)),
      reports_(v8::ArrayBuffer::NewBackingStore(v8::Isolate::GetCurrent(), kReports * (3 * sizeof(double) + 2 * sizeof(int32_t)))) {
  client_.Reset(client);
  {
    std::lock_guard<std::mutex> lock(registry_mutex);
    Registry()[rk] = this;
  }
  // node-rdkafka always sets a callback. It is read when a report is served, and none can be before the first record is produced.
  rd_kafka_conf_set_dr_msg_cb(const_cast<rd_kafka_conf_t*>(rd_kafka_conf(rk)), OnReport);
}

PackedProducer::~PackedProducer() { Release(); }

void PackedProducer::Release() {
  if (rk_ == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(registry_mutex);
    Registry().erase(rk_);
  }
  rk_ = nullptr;
  if (partly_drained_ != nullptr) rd_kafka_event_destroy(partly_drained_);
  partly_drained_ = nullptr;
  for (auto* topic : topics_) rd_kafka_topic_destroy(topic);
  topics_.clear();
  wake_->Release();
  client_.Reset();
}

rd_kafka_resp_err_t PackedProducer::ProduceOne(const int32_t* columns, double timestamp, const char* at, void* ticket) {
  const int32_t partition = columns[1], key_length = columns[2], value_length = columns[3], header_bytes = columns[4];
  const char* key = key_length < 0 ? nullptr : at;
  const char* value = value_length < 0 ? nullptr : at + std::max(key_length, 0);
  const size_t key_size = std::max(key_length, 0), value_size = std::max(value_length, 0);
  auto* topic = topics_[columns[0]];
  if (header_bytes == 0 && timestamp == 0) {
    const int failed = rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value), value_size, key, key_size, ticket);
    return failed == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
  }
  Headers headers(header_bytes == 0 ? nullptr : ReadHeaders(at + key_size + value_size, header_bytes));
  if (header_bytes > 0 && headers.get() == nullptr) return RD_KAFKA_RESP_ERR__INVALID_ARG;
  rd_kafka_vu_t fields[8];
  size_t count = 0;
  auto field = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    fields[count].vtype = type;
    return fields[count++];
  };
  field(RD_KAFKA_VTYPE_RKT).u.rkt = topic;
  field(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition;
  field(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  field(RD_KAFKA_VTYPE_KEY).u.mem = {const_cast<char*>(key), key_size};
  field(RD_KAFKA_VTYPE_VALUE).u.mem = {const_cast<char*>(value), value_size};
  field(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = static_cast<int64_t>(timestamp);
  field(RD_KAFKA_VTYPE_OPAQUE).u.ptr = ticket;
  if (headers.get() != nullptr) field(RD_KAFKA_VTYPE_HEADERS).u.headers = headers.get();
  auto* error = rd_kafka_produceva(rk_, fields, count);
  if (error == nullptr) {
    headers.TakenOver();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  const auto code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  return code;
}

NAN_METHOD(PackedProducer::New) {
  if (!info.IsConstructCall()) return Nan::ThrowTypeError("Expected PackedProducer to be called with new");
  if (info.Length() < 2 || !info[1]->IsFunction()) return Nan::ThrowTypeError("Expected a client and a function");
  rd_kafka_t* rk = borrow(info[0]);
  if (rk == nullptr || rd_kafka_type(rk) != RD_KAFKA_PRODUCER) {
    return Nan::ThrowTypeError("Expected the _client of a connected node-rdkafka Producer");
  }
  {
    std::lock_guard<std::mutex> lock(registry_mutex);
    if (Registry().count(rk) > 0) return Nan::ThrowError("This client has a packed producer already");
  }
  auto* self = new PackedProducer(rk, info[0].As<v8::Object>(), info[1].As<v8::Function>());
  self->Wrap(info.This());
  SetField(info.This(), "reports", v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), self->reports_));
  info.GetReturnValue().Set(info.This());
}

NAN_METHOD(PackedProducer::AddTopic) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedProducer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed producer is closed");
  auto name = Text(info[0]);
  if (!name) return Nan::ThrowTypeError("Expected the name of a topic");
  auto* topic = rd_kafka_topic_new(self->rk_, name->c_str(), nullptr);
  if (topic == nullptr) return Nan::ThrowError(rd_kafka_err2str(rd_kafka_last_error()));
  self->topics_.push_back(topic);
  info.GetReturnValue().Set(Nan::New(static_cast<uint32_t>(self->topics_.size() - 1)));
}

/** `produce(bytes, columns, timestamps, from, count, firstTicket)`: how many were accepted; `lastError()` says why the next was not. */
NAN_METHOD(PackedProducer::Produce) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedProducer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed producer is closed");
  if (info.Length() < 6 || !info[0]->IsUint8Array() || !info[1]->IsInt32Array() || !info[2]->IsFloat64Array()) {
    return Nan::ThrowTypeError("Expected a Uint8Array, an Int32Array and a Float64Array");
  }
  Nan::TypedArrayContents<uint8_t> bytes(info[0]);
  Nan::TypedArrayContents<int32_t> columns(info[1]);
  Nan::TypedArrayContents<double> timestamps(info[2]);
  auto from = WholeNumber(info[3], 0, INT32_MAX);
  auto count = WholeNumber(info[4], 0, INT32_MAX);
  auto first_ticket = WholeNumber(info[5], 0, static_cast<int64_t>(kLargestTicket));
  if (!from || !count || !first_ticket) return Nan::ThrowRangeError("Expected three whole numbers: from, count, firstTicket");
  const size_t end = static_cast<size_t>(*from + *count);
  if (end * kColumns > columns.length() || end > timestamps.length()) return Nan::ThrowRangeError("Expected columns for every record");
  // All of it is checked before any of it is sent.
  size_t start = 0, needed = 0;
  for (size_t i = 0; i < end; i++) {
    const int32_t* record = *columns + i * kColumns;
    if (i == static_cast<size_t>(*from)) start = needed;
    if (record[0] < 0 || static_cast<size_t>(record[0]) >= self->topics_.size()) return Nan::ThrowRangeError("Expected a topic of addTopic");
    if (record[1] < -1 || record[2] < -1 || record[3] < -1 || record[4] < 0) return Nan::ThrowRangeError("Expected lengths from -1");
    if (!((*timestamps)[i] >= 0 && (*timestamps)[i] <= kLargestTicket)) return Nan::ThrowRangeError("Expected timestamps from 0");
    needed += RecordBytes(record);
    if (needed > bytes.length()) return Nan::ThrowRangeError("Expected as many bytes as the lengths say");
  }
  const char* at = reinterpret_cast<const char*>(*bytes) + start;
  // A typed array without elements may have no memory; an empty key is told from none by its address.
  static const char nothing = 0;
  if (bytes.length() == 0) at = &nothing;
  self->last_error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  uint32_t accepted = 0;
  for (size_t i = static_cast<size_t>(*from); i < end; i++) {
    const int32_t* record = *columns + i * kColumns;
    auto* ticket = reinterpret_cast<void*>(static_cast<uintptr_t>(*first_ticket) + accepted);
    self->last_error_ = self->ProduceOne(record, (*timestamps)[i], at, ticket);
    if (self->last_error_ != RD_KAFKA_RESP_ERR_NO_ERROR) break;
    at += RecordBytes(record);
    accepted++;
  }
  info.GetReturnValue().Set(Nan::New(accepted));
}

NAN_METHOD(PackedProducer::LastError) {
  info.GetReturnValue().Set(Nan::New(static_cast<int32_t>(Nan::ObjectWrap::Unwrap<PackedProducer>(info.This())->last_error_)));
}

void PackedProducer::NoteEvent(rd_kafka_event_t* event) {
  Event noted{rd_kafka_event_type(event), rd_kafka_event_error(event), false, 0, "", ""};
  const char* text = nullptr;
  switch (noted.type) {
    case RD_KAFKA_EVENT_ERROR:
      text = rd_kafka_event_error_string(event);
      noted.fatal = rd_kafka_event_error_is_fatal(event) != 0;
      break;
    case RD_KAFKA_EVENT_STATS:
      text = rd_kafka_event_stats(event);
      break;
    case RD_KAFKA_EVENT_LOG: {
      const char* facility = nullptr;
      if (rd_kafka_event_log(event, &facility, &text, &noted.severity) != 0) return;
      noted.facility = facility == nullptr ? "" : facility;
      break;
    }
    default:
      return;
  }
  noted.text = text == nullptr ? "" : text;
  events_.push_back(std::move(noted));
}

PackedProducer::Report PackedProducer::ReportOf(const rd_kafka_message_t* message) {
  rd_kafka_timestamp_type_t type;
  return {static_cast<double>(reinterpret_cast<uintptr_t>(message->_private)), static_cast<double>(message->offset),
          static_cast<double>(rd_kafka_message_timestamp(message, &type)), message->partition, message->err};
}

void PackedProducer::Write(size_t at, const Report& report) {
  auto* ticket = static_cast<double*>(reports_->Data());
  auto* offset = ticket + kReports;
  auto* timestamp = offset + kReports;
  auto* partition = reinterpret_cast<int32_t*>(timestamp + kReports);
  auto* code = partition + kReports;
  ticket[at] = report.ticket;
  offset[at] = report.offset;
  timestamp[at] = report.timestamp;
  partition[at] = report.partition;
  code[at] = report.code;
}

void PackedProducer::OnReport(rd_kafka_t* rk, const rd_kafka_message_t* message, void*) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  auto entry = Registry().find(rk);
  if (entry == Registry().end()) return;
  entry->second->polled_elsewhere_.push_back(ReportOf(message));
  entry->second->wake_->Send();
}

size_t PackedProducer::DrainReports(bool from_queue) {
  size_t count = 0;
  while (count < kReports) {
    if (partly_drained_ == nullptr) {
      std::lock_guard<std::mutex> lock(registry_mutex);
      while (count < kReports && !polled_elsewhere_.empty()) {
        Write(count++, polled_elsewhere_.front());
        polled_elsewhere_.pop_front();
      }
      if (count == kReports) break;
    }
    auto* event = partly_drained_ != nullptr ? partly_drained_ : from_queue ? rd_kafka_queue_poll(wake_->queue(), 0) : nullptr;
    partly_drained_ = nullptr;
    if (event == nullptr) break;
    if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_DR) {
      NoteEvent(event);
      rd_kafka_event_destroy(event);
      continue;
    }
    while (count < kReports) {
      const auto* message = rd_kafka_event_message_next(event);
      if (message == nullptr) break;
      Write(count++, ReportOf(message));
    }
    // Messages are counted until their event is destroyed, which is what makes room in a full queue.
    if (count < kReports) rd_kafka_event_destroy(event);
    else partly_drained_ = event;
  }
  return count;
}

/** `drain(fromQueue)`: false while another thread polls the queue, so that reports keep their order. */
NAN_METHOD(PackedProducer::Drain) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedProducer>(info.This());
  if (self->rk_ == nullptr) return Nan::ThrowError("The packed producer is closed");
  if (!info[0]->IsBoolean()) return Nan::ThrowTypeError("Expected a boolean");
  info.GetReturnValue().Set(Nan::New(static_cast<uint32_t>(self->DrainReports(Nan::To<bool>(info[0]).FromJust()))));
}

NAN_METHOD(PackedProducer::TakeEvents) {
  auto* self = Nan::ObjectWrap::Unwrap<PackedProducer>(info.This());
  if (self->events_.empty()) return;
  auto list = Nan::New<v8::Array>();
  for (const auto& event : self->events_) {
    auto object = Nan::New<v8::Object>();
    const char* type = event.type == RD_KAFKA_EVENT_ERROR ? "error" : event.type == RD_KAFKA_EVENT_STATS ? "statistics" : "log";
    SetField(object, "type", Nan::New(type).ToLocalChecked());
    SetField(object, "code", Nan::New(event.code));
    SetField(object, "fatal", Nan::New(event.fatal));
    SetField(object, "severity", Nan::New(event.severity));
    SetField(object, "facility", Nan::New(event.facility).ToLocalChecked());
    SetField(object, "text", Nan::New(event.text).ToLocalChecked());
    Nan::Set(list, list->Length(), object);
  }
  self->events_.clear();
  info.GetReturnValue().Set(list);
}

NAN_METHOD(PackedProducer::Hold) {
  if (!info[0]->IsBoolean()) return Nan::ThrowTypeError("Expected a boolean");
  Nan::ObjectWrap::Unwrap<PackedProducer>(info.This())->wake_->Hold(Nan::To<bool>(info[0]).FromJust());
}

NAN_METHOD(PackedProducer::Close) { Nan::ObjectWrap::Unwrap<PackedProducer>(info.This())->Release(); }

void PackedProducer::Init(v8::Local<v8::Object> exports) {
  ExportClass(exports, "PackedProducer", New,
              {
                  {"addTopic", AddTopic},
                  {"produce", Produce},
                  {"lastError", LastError},
                  {"drain", Drain},
                  {"takeEvents", TakeEvents},
                  {"hold", Hold},
                  {"close", Close},
              });
}

}  // namespace toolkit
