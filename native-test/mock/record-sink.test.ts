import { recordSinkSuite } from '../support/record-sink-suite.ts';

recordSinkSuite('portable');
recordSinkSuite('packed');
