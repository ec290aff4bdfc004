import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaksOfAddon } from '../native/leak-report.ts';

const block = (kind: string, objects: number, frames: readonly string[]): string =>
  [
    `${kind} leak of 80 byte(s) in ${objects} object(s) allocated from:`,
    ...frames.map((frame, index) => `    #${index} 0x7f00 in ${frame}`),
  ].join('\n');

test('counts what the addon allocated, through the standard library too, and nothing of what it called or was called by', () => {
  const report = [
    '==1==ERROR: LeakSanitizer: detected memory leaks',
    block('Direct', 3, [
      'operator new(unsigned long) asan.cpp:95',
      'toolkit::PackedProducer::New(…) packed-producer.cc:155',
      'Builtin (node+0x1)',
    ]),
    block('Indirect', 2, [
      'malloc asan.cpp:1',
      'std::__new_allocator<toolkit::Report>::allocate(…)',
      'toolkit::PackedProducer::New(…) packed-producer.cc:155',
    ]),
    block('Direct', 900, [
      'malloc asan.cpp:1',
      'v8::internal::Allocate (node+0x2)',
      'toolkit::QueueWake::OnWake(uv_async_s*) queue-wake.h:69',
    ]),
    block('Direct', 500, ['calloc asan.cpp:1', 'rd_kafka_new (librdkafka.so+0x3)']),
    'SUMMARY: AddressSanitizer: 80 byte(s) leaked in 5 allocation(s).',
  ].join('\n\n');
  assert.deepEqual([...leaksOfAddon(report)], [['toolkit::PackedProducer::New(…) packed-producer.cc:155', 5]]);
  assert.deepEqual([...leaksOfAddon('')], []);
});
