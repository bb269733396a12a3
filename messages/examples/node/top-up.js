// Tops an account up and waits for the outcome: node top-up.js ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (redis:// or rediss://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
import { createClient } from 'redis';
import { partitionOf, rightlyUsed, signature, told, topUp } from './command.js';

const { EDGE_URL, PRODUCER, SECRET, PARTITIONS = '1', WAIT_SECONDS = '10', TRIES = '3' } = process.env;
const [account, amount, payment] = process.argv.slice(2);
const OUTCOMES = `coins:events:${PRODUCER}`;

async function outcomeOf(client, command) {
  // Where the stream ends now: our outcome comes behind it.
  const [last] = await client.xRevRange(OUTCOMES, '+', '-', { COUNT: 1 });
  let position = last?.id ?? '0-0';

  const body = JSON.stringify(command); // sign the very bytes that are sent
  const fields = SECRET ? { event: body, signature: signature(body, SECRET) } : { event: body };
  const partition = partitionOf(command.partitionkey, Number(PARTITIONS));
  await client.xAdd(`coins:commands:${partition}:${PRODUCER}`, '*', fields);

  const until = Date.now() + Number(WAIT_SECONDS) * 1000;
  for (let left; (left = until - Date.now()) > 0; ) {
    const read = await client.xRead({ key: OUTCOMES, id: position }, { BLOCK: Math.ceil(left), COUNT: 100 });
    for (const { id, message } of read?.[0].messages ?? []) {
      position = id;
      const outcome = JSON.parse(message.event);
      const asked = outcome.data.command;
      if (asked.source === command.source && asked.id === command.id) return outcome;
    }
  }
  return null;
}

async function main() {
  const command = topUp(PRODUCER, account, Number(amount), payment);
  for (let attempt = 0; attempt < Number(TRIES); attempt++) {
    // No reconnecting behind our back: whether to send again is decided here.
    const client = createClient({ url: EDGE_URL, socket: { reconnectStrategy: false, connectTimeout: 5000 } });
    client.on('error', () => {}); // each call fails by itself as well
    try {
      await client.connect();
      const outcome = await outcomeOf(client, command);
      if (outcome) return told(outcome);
    } catch (error) {
      console.error(error.message);
      if (/^(NOPERM|NOAUTH|WRONGPASS)/.test(error.message)) return 1; // trying again changes nothing
      await new Promise((done) => setTimeout(done, 200 * 2 ** attempt));
    } finally {
      if (client.isOpen) client.destroy();
    }
  }
  console.error(`no outcome of ${command.id} yet; run this again`);
  return 3;
}

process.exitCode = rightlyUsed('top-up.js') ? await main() : 2;
