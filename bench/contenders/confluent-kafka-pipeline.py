"""Contender of the mode `pipeline`: confluent-kafka for Python with fastavro. Its job comes by stdin as JSON, its report goes to stdout."""

import io
import json
import sys
import time

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition


def main():
    job = json.load(sys.stdin)
    schema = fastavro.parse_schema(job["schema"])
    consumer = Consumer(job["settings"]["consumer"])
    producer = Producer(job["settings"]["producer"])
    consumer.subscribe(job["inputTopics"])
    records, topic = job["records"], job["outputTopics"][0]
    count = delivered = counted_from = 0
    started = cpu = None
    pending = []

    def store():
        while pending and pending[0][0] == 0:
            consumer.store_offsets(offsets=pending.pop(0)[1])

    while count < records:
        messages = consumer.consume(1000, 0.1)
        if not messages:
            continue
        if started is None:
            started, cpu, counted_from = time.perf_counter(), time.process_time(), len(messages)
        batch = [len(messages), []]
        pending.append(batch)
        next_offsets = {}

        def on_delivery(error, _message, batch=batch):
            nonlocal delivered
            if error is not None:
                raise RuntimeError(str(error))
            delivered += 1
            batch[0] -= 1

        for message in messages:
            if message.error():
                raise RuntimeError(str(message.error()))
            data = message.value()
            trip = fastavro.schemaless_reader(io.BytesIO(memoryview(data)[5:]), schema)
            trip["fare"] += 1
            out = io.BytesIO()
            out.write(data[:5])
            fastavro.schemaless_writer(out, schema, trip)
            next_offsets[message.topic(), message.partition()] = message.offset() + 1
            while True:
                try:
                    producer.produce(topic, out.getvalue(), message.key(), on_delivery=on_delivery)
                    break
                except BufferError:
                    producer.poll(0.01)
        batch[1] = [TopicPartition(t, p, o) for (t, p), o in next_offsets.items()]
        count += len(messages)
        producer.poll(0)
        store()
        while len(pending) > 8:
            producer.poll(0.01)
            store()
    producer.flush()
    store()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    consumer.close()
    counted = count - counted_from
    report = {"recordsPerSecond": counted / seconds, "cpuMicrosPerRecord": cpu * 1e6 / counted, "delivered": delivered}
    json.dump(report, sys.stdout)


main()
