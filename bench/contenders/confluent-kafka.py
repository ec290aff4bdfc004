"""Contender of the bench: confluent-kafka for Python. Reads its job from stdin as JSON, writes its report to stdout."""

import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition


def consume(job, one_by_one):
    consumer = Consumer(job["settings"])
    consumer.subscribe(job["inputTopics"])
    count, size, counted_from, started = 0, 0, 0, None
    next_offsets = {}
    while count < job["records"]:
        messages = [consumer.poll(5)] if one_by_one else consumer.consume(1000, 0.1)
        for message in messages:
            if message is None:
                continue
            if message.error():
                raise RuntimeError(str(message.error()))
            count += 1
            size += len(message.value())
            if job["headers"]:
                size += len(message.headers())
            next_offsets[message.topic(), message.partition()] = message.offset() + 1
        if started is None and count > 0:
            started, counted_from = time.perf_counter(), count
        if not one_by_one or count % 1000 == 0:
            consumer.store_offsets(offsets=[TopicPartition(t, p, o) for (t, p), o in next_offsets.items()])
            next_offsets.clear()
    seconds = time.perf_counter() - started
    consumer.close()
    return (count - counted_from) / seconds, count


def produce(job):
    producer = Producer(job["settings"])
    delivered = 0

    def on_delivery(error, message):
        nonlocal delivered
        if error is None:
            delivered += 1

    topics, key, value = job["outputTopics"], bytes(8), bytes((i * i * 31 + i * 7) & 63 for i in range(job["recordBytes"] - 8))
    headers = [(f"header-{n}", b"4bf92f3577b34da6a3ce929d") for n in range(job["headers"])] or None
    places = len(topics) * job["partitions"]
    started = time.perf_counter()
    for index in range(job["records"]):
        place = index % places
        topic, partition = topics[place // job["partitions"]], place % job["partitions"]
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery, headers=headers)
                break
            except BufferError:
                producer.poll(0.01)
        if index % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return job["records"] / (time.perf_counter() - started), delivered


def main():
    job = json.load(sys.stdin)
    rate, count = produce(job) if job["mode"] == "produce" else consume(job, job["mode"] == "async")
    json.dump({"recordsPerSecond": rate, "count": count}, sys.stdout)


main()
