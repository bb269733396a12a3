// Tops an account up over RabbitMQ and waits for the outcome: node top-up-rabbitmq.js ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (amqp:// or amqps://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
import { connect } from 'amqplib';
import { partitionOf, rightlyUsed, signature, told, topUp } from './command.js';

const { EDGE_URL, PRODUCER, SECRET, PARTITIONS = '1', WAIT_SECONDS = '10', TRIES = '3' } = process.env;
const [account, amount, payment] = process.argv.slice(2);

async function outcomeOf(connection, command) {
  const channel = await connection.createConfirmChannel();
  const broken = new Promise((_, fail) => {
    channel.on('error', fail);
    channel.on('close', () => fail(new Error('the channel was closed')));
    channel.on('return', () => fail(new Error('no queue takes the command: has `coins migrate` run, is PARTITIONS right?')));
  });
  broken.catch(() => {}); // it is looked at below

  // Read what comes from now on, before sending. A stream needs a prefetch, and each delivery an acknowledgement.
  let answer;
  const answered = new Promise((done) => (answer = done));
  await channel.prefetch(100);
  await channel.consume(
    `coins.events.${PRODUCER}`,
    (message) => {
      if (!message) return;
      const outcome = JSON.parse(message.content);
      const asked = outcome.data.command;
      channel.ack(message);
      if (asked.source === command.source && asked.id === command.id) answer(outcome);
    },
    { arguments: { 'x-stream-offset': 'next' } },
  );

  const body = Buffer.from(JSON.stringify(command)); // sign the very bytes that are sent
  channel.publish('coins.commands', `${PRODUCER}.${partitionOf(command.partitionkey, Number(PARTITIONS))}`, body, {
    persistent: true,
    mandatory: true,
    contentType: 'application/cloudevents+json',
    headers: SECRET ? { signature: signature(body, SECRET) } : {},
  });
  await Promise.race([channel.waitForConfirms(), broken]);

  let timer;
  const late = new Promise((done) => (timer = setTimeout(done, Number(WAIT_SECONDS) * 1000, null)));
  return Promise.race([answered, broken, late]).finally(() => clearTimeout(timer));
}

async function main() {
  const command = topUp(PRODUCER, account, Number(amount), payment);
  for (let attempt = 0; attempt < Number(TRIES); attempt++) {
    let connection;
    try {
      connection = await connect(EDGE_URL, { timeout: 5000 });
      connection.on('error', () => {}); // each call fails by itself as well
      const outcome = await outcomeOf(connection, command);
      if (outcome) return told(outcome);
    } catch (error) {
      console.error(error.message);
      if (/ACCESS.REFUSED|403/.test(error.message)) return 1; // trying again changes nothing
      if (/ConnectionOpenOk; got <ConnectionClose/.test(error.message)) {
        console.error('that is: there is no such vhost in EDGE_URL, or it is not open to this user');
        return 1;
      }
      await new Promise((done) => setTimeout(done, 200 * 2 ** attempt));
    } finally {
      await connection?.close().catch(() => {});
    }
  }
  console.error(`no outcome of ${command.id} yet; run this again`);
  return 3;
}

process.exitCode = rightlyUsed('top-up-rabbitmq.js') ? await main() : 2;
