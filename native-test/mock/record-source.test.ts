import { recordSourceSuite } from '../support/record-source-suite.ts';

for (const marksEnds of [true, false]) {
  recordSourceSuite('portable', { marksEnds });
  recordSourceSuite('packed', { marksEnds });
}
