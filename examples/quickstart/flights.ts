import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type AvroSchema, avroSchema, ConfigError } from 'rdkafka-toolkit';

/** A row of the data set; `id` is its index. */
export interface Flight {
  readonly id: number;
  /** Minutes; negative when it arrived early. */
  readonly delay: number;
  /** Miles. */
  readonly distance: number;
  /** Local hour of departure, 0 to 24, exact to 32 bits as in {@link flightSchema}. */
  readonly time: number;
}

/** What the quickstart makes of a flight. */
export interface EnrichedFlight extends Flight {
  readonly late: boolean;
  readonly departureMinute: number;
}

const flightFields = [
  { name: 'id', type: 'int' },
  { name: 'delay', type: 'int' },
  { name: 'distance', type: 'int' },
  { name: 'time', type: 'float' },
];

export const flightSchema: AvroSchema<Flight> = avroSchema({ type: 'record', name: 'Flight', fields: flightFields });

export const enrichedFlightSchema: AvroSchema<EnrichedFlight> = avroSchema({
  type: 'record',
  name: 'EnrichedFlight',
  fields: [...flightFields, { name: 'late', type: 'boolean' }, { name: 'departureMinute', type: 'int' }],
});

/** From how many minutes on a flight counts as late: the U.S. Department of Transportation's rule. */
const LATE_MINUTES = 15;

export function enrich({ id, delay, distance, time }: Flight): EnrichedFlight {
  return { id, delay, distance, time, late: delay >= LATE_MINUTES, departureMinute: Math.round(time * 60) };
}

/**
 * The first `limit` rows of vega-datasets' `flights-200k.json`: delay statistics of the U.S. Bureau of Transportation Statistics.
 *
 * @throws ConfigError when the data set is not installed
 */
export async function loadFlights(limit: number): Promise<Flight[]> {
  let text: string;
  try {
    // The package exports no data files: they are found from its entry, build/index.js.
    const entry = createRequire(import.meta.url).resolve('vega-datasets');
    text = await readFile(join(entry, '..', '..', 'data', 'flights-200k.json'), 'utf8');
  } catch (error) {
    throw new ConfigError(['Expected the data set vega-datasets/data/flights-200k.json, a devDependency: run `npm ci`'], { cause: error });
  }
  const rows = JSON.parse(text) as Omit<Flight, 'id'>[];
  return rows.slice(0, limit).map(({ delay, distance, time }, id) => ({ id, delay, distance, time: Math.fround(time) }));
}
