#include <nan.h>

#include "consumer-close.h"
#include "mock-cluster.h"
#include "packed-consumer.h"
#include "packed-producer.h"
#include "rdkafka.h"

namespace toolkit {
namespace {

NAN_MODULE_INIT(Init) {
  Nan::Set(target, Nan::New("librdkafkaVersion").ToLocalChecked(), Nan::New(rd_kafka_version_str()).ToLocalChecked());
  Nan::Set(target, Nan::New("nodeRdkafkaVersion").ToLocalChecked(), Nan::New(NODE_RDKAFKA_VERSION).ToLocalChecked());
  ConsumerClose::Init(target);
  PackedConsumer::Init(target);
  PackedProducer::Init(target);
  MockCluster::Init(target);
}

}  // namespace
}  // namespace toolkit

NODE_MODULE(rdkafka_toolkit, toolkit::Init)
