import { recordSourceSuite } from '../support/record-source-suite.ts';

recordSourceSuite('portable');
recordSourceSuite('packed');
