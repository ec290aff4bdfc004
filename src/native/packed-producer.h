#pragma once

#include <nan.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "queue-wake.h"
#include "rdkafka.h"

namespace toolkit {

/**
 * Hands packed records to a borrowed producer and drains its delivery reports, and every other event of its main queue, as columns.
 * Everything runs on the event loop's thread but `OnReport`: librdkafka calls it for reports that somebody else's poll takes from the
 * queue (`rd_kafka_flush` on a pool thread), so that none is lost, and none reaches node-rdkafka, which would take a ticket for a pointer.
 */
class PackedProducer : public Nan::ObjectWrap {
 public:
  static void Init(v8::Local<v8::Object> exports);

 private:
  /** Reports one `drain` gives at most. */
  static constexpr size_t kReports = 8192;

  PackedProducer(rd_kafka_t* rk, v8::Local<v8::Object> client, v8::Local<v8::Function> on_wake);
  ~PackedProducer() override;

  static NAN_METHOD(New);
  static NAN_METHOD(AddTopic);
  static NAN_METHOD(Produce);
  static NAN_METHOD(LastError);
  static NAN_METHOD(Drain);
  static NAN_METHOD(TakeEvents);
  static NAN_METHOD(Hold);
  static NAN_METHOD(Close);

  rd_kafka_resp_err_t ProduceOne(const int32_t* columns, double timestamp, const char* at, void* ticket);
  size_t DrainReports(bool from_queue);
  static void OnReport(rd_kafka_t* rk, const rd_kafka_message_t* message, void* opaque);
  void NoteEvent(rd_kafka_event_t* event);
  void Release();

  rd_kafka_t* rk_;
  std::unique_ptr<QueueWake> wake_;
  Nan::Persistent<v8::Object> client_;
  std::vector<rd_kafka_topic_t*> topics_;
  rd_kafka_resp_err_t last_error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  /** Reports that did not fit into the last drain. */
  rd_kafka_event_t* partly_drained_ = nullptr;
  std::shared_ptr<v8::BackingStore> reports_;

  struct Report {
    double ticket;
    double offset;
    double timestamp;
    int32_t partition;
    int32_t code;
  };
  static Report ReportOf(const rd_kafka_message_t* message);
  void Write(size_t at, const Report& report);
  /** Reports of `OnReport`, oldest first; guarded by the mutex of the registry. */
  std::deque<Report> polled_elsewhere_;

  struct Event {
    rd_kafka_event_type_t type;
    int32_t code;
    bool fatal;
    int32_t severity;
    std::string facility;
    std::string text;
  };
  std::vector<Event> events_;
};

}  // namespace toolkit
