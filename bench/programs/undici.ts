import { createServer, type ServerResponse } from 'node:http';
import { Pool } from 'undici';

// The barest relay of node:http and undici's dispatch, without bodies of requests: `undici.js UPSTREAM PORT`.

const [, , upstream = '', port = '0'] = process.argv;
const pool = new Pool(upstream, { pipelining: 1 });

createServer((req, res) => {
  const { method = 'GET', url: path = '/' } = req;
  pool.dispatch({ method: method as 'GET', path, headers: ['host', req.headers.host ?? ''] }, relayTo(res) as never);
}).listen(Number(port), '127.0.0.1');

function relayTo(res: ServerResponse): object {
  return {
    onConnect() {},
    onHeaders(status: number, raw: Buffer[]) {
      const headers: string[] = [];
      for (let index = 0; index < raw.length; index += 2) {
        const name = String(raw[index]);
        if (!/^(connection|keep-alive)$/i.test(name)) headers.push(name, String(raw[index + 1]));
      }
      res.writeHead(status, headers);
      return true;
    },
    onData: (chunk: Buffer) => res.write(chunk),
    onComplete: () => void res.end(),
    onError: () => void res.destroy(),
  };
}
