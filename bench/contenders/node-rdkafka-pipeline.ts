import { PlainAvro } from '../avro/plain-avro.ts';
import { charge, fareFaults } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { copyRecords } from './node-rdkafka-loop.ts';

contend(async (job, meter) => {
  const codec = new PlainAvro(job.fields);
  let sum = 0;
  const faults = await copyRecords(job, meter, ({ value }) => {
    const trip = codec.decode(value as Buffer);
    sum += trip.fare;
    return codec.encode(charge(trip));
  });
  return [...faults, ...fareFaults(sum, job)];
});
