import t from 'tap';
import { affordableConnections, openFilesLimit } from '../../src/machine/descriptor-limit.js';

t.test('a connection is counted twice, and a part of the descriptors is kept for everything else', async (t) => {
  t.equal(affordableConnections(256), 96);
  t.equal(affordableConnections(1_024), 384);
  t.equal(affordableConnections(1_048_576), 522_240);
  t.equal(affordableConnections(64), 1);
});

t.test('the limit of this process is read, and one that cannot be read is unknown', async (t) => {
  t.ok((openFilesLimit() ?? 0) > 0);
  t.equal(openFilesLimit('/nonexistent'), undefined);
});
