#pragma once

#include <nan.h>

#include "rdkafka.h"
#include "rdkafka_mock.h"

namespace toolkit {

/** Controls the mock cluster that a producer with `test.mock.num.brokers` runs; it ends with that producer. */
class MockCluster : public Nan::ObjectWrap {
 public:
  static void Init(v8::Local<v8::Object> exports);

 private:
  MockCluster(rd_kafka_mock_cluster_t* cluster, v8::Local<v8::Object> client);
  static rd_kafka_mock_cluster_t* Of(const Nan::FunctionCallbackInfo<v8::Value>& info);

  static NAN_METHOD(New);
  static NAN_METHOD(CreateTopic);
  static NAN_METHOD(SetBrokerUp);
  static NAN_METHOD(SetRoundTripTime);
  static NAN_METHOD(PushErrors);
  static NAN_METHOD(ClearErrors);
  static NAN_METHOD(SetLeader);
  static NAN_METHOD(SetCoordinator);
  static NAN_METHOD(SetGroupJoinDelay);
  static NAN_METHOD(Close);

  rd_kafka_mock_cluster_t* cluster_;
  Nan::Persistent<v8::Object> client_;
};

}  // namespace toolkit
