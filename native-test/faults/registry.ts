import type { Fault } from './fault.ts';
import { blockedLoop } from './rows/blocked-loop.ts';
import { brokerKills } from './rows/broker-kills.ts';
import { brokerTrouble } from './rows/broker-trouble.ts';
import { consumerKills } from './rows/consumer-kills.ts';
import { delays } from './rows/delays.ts';
import { failingRecords } from './rows/failing-records.ts';
import { keyOrder } from './rows/key-order.ts';
import { memory } from './rows/memory.ts';
import { openClose } from './rows/open-close.ts';
import { rebalanceStorm } from './rows/rebalance-storm.ts';
import { signals } from './rows/signals.ts';
import { streamCluster } from './rows/stream-cluster.ts';
import { transactions } from './rows/transactions.ts';
import { webLoad } from './rows/web-load.ts';

/** Every fault, in the order of the matrix' rows. A new one is a module in `rows/` and a line here. */
export const faults: readonly Fault[] = [
  ...brokerKills,
  ...consumerKills,
  ...rebalanceStorm,
  ...keyOrder,
  ...brokerTrouble,
  ...failingRecords,
  ...signals,
  ...openClose,
  ...blockedLoop,
  ...memory,
  ...transactions,
  ...delays,
  ...webLoad,
  ...streamCluster,
];
