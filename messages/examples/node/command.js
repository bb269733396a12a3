// What both transports share: how they are used, the command, its partition, its signature, and what an outcome says.
import { createHmac } from 'node:crypto';

export function topUp(producer, account, amount, payment) {
  return {
    specversion: '1.0',
    // From what is paid for, so that the same payment can never be booked twice, whoever sends it again.
    id: `top-up-${payment}`,
    source: producer,
    type: 'coins.TopUp.v1',
    partitionkey: account,
    data: { account, amount, reference: payment },
  };
}

export function rightlyUsed(program) {
  const [, amount, payment, ...more] = process.argv.slice(2);
  const { EDGE_URL, PRODUCER } = process.env;
  if (payment && /^\d+$/.test(amount) && !more.length && EDGE_URL && PRODUCER) return true;
  console.error(
    `usage: node ${program} ACCOUNT AMOUNT PAYMENT, with a whole AMOUNT, and EDGE_URL and PRODUCER in the environment`,
  );
  return false;
}

export function signature(body, secret) {
  return createHmac('sha256', secret).update(body, 'utf8').digest('base64');
}

// CRC-32 as in zip and PNG. (From Node 22.2 on: zlib.crc32.)
export function crc32(text) {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text, 'utf8')) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export function partitionOf(key, partitions) {
  return key ? crc32(key) % partitions : 0;
}

export function told({ type, data }) {
  if (type === 'coins.CommandApplied.v1') {
    console.log(`applied ${data.transaction}${data.duplicate ? ' (decided before)' : ''}`);
    return 0;
  }
  console.log(`rejected ${data.reason}: ${data.message}`);
  return 4;
}
