import { type EnrichedFlight, enrich, type Flight } from './flights.ts';

/** What {@link verifyEnriched} found. */
export interface Verification {
  /** Flights of which no record came. */
  readonly lost: number;
  /** Records beyond the first of a flight. */
  readonly duplicated: number;
  /** Records that differ from what their flight makes, or belong to no flight. */
  readonly wrong: number;
  /** The first fault, in words; undefined when there is none. */
  readonly firstFault: string | undefined;
}

/** Compares every record of the output topic, in any order, with what it must be. The id of a flight is its index. */
export function verifyEnriched(flights: readonly Flight[], records: readonly EnrichedFlight[]): Verification {
  const seen = new Uint32Array(flights.length);
  let duplicated = 0;
  let wrong = 0;
  let firstFault: string | undefined;
  for (const record of records) {
    const flight = flights[record.id];
    if (flight === undefined) {
      wrong++;
      firstFault ??= `flight ${record.id} is not in the data set`;
      continue;
    }
    if (seen[record.id]! > 0) {
      duplicated++;
      firstFault ??= `flight ${record.id} came again`;
    }
    seen[record.id]!++;
    const fault = difference(enrich(flight), record);
    if (fault === undefined) continue;
    wrong++;
    firstFault ??= fault;
  }
  const lost = seen.reduce((count, times) => count + (times === 0 ? 1 : 0), 0);
  if (lost > 0) firstFault ??= `flight ${seen.indexOf(0)} did not come`;
  return { lost, duplicated, wrong, firstFault };
}

function difference(expected: EnrichedFlight, record: EnrichedFlight): string | undefined {
  for (const field of Object.keys(expected) as (keyof EnrichedFlight)[]) {
    if (record[field] !== expected[field]) return `flight ${record.id}: expected ${field} to be ${expected[field]}, got ${record[field]}`;
  }
  return undefined;
}
