import { measurePool, poolOptions } from '../avro/pool.ts';
import { contend } from '../contender.ts';

contend((job, meter) => measurePool(job, meter, poolOptions(job.client, job.mode === 'pool-heavy' ? 'heavy' : 'light')));
