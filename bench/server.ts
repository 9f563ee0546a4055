import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import httpProxy from 'http-proxy';
import { Pool } from 'undici';

// `server.js upstream` answers twelve bytes; `server.js http-proxy|undici ADDRESS` is the barest relay of its kind.

const [, , kind, upstream = ''] = process.argv;
const { HOST = '127.0.0.1', PORT = '0' } = process.env;

function handler(): (req: IncomingMessage, res: ServerResponse) => void {
  if (kind === 'upstream') return (_req, res) => void res.end('hello world\n');
  if (kind === 'http-proxy') {
    const proxy = httpProxy.createProxyServer({ target: upstream, agent: new Agent({ keepAlive: true }) });
    return (req, res) => proxy.web(req, res, undefined, (error) => res.writeHead(502).end(error.message));
  }
  const pool = new Pool(upstream, { pipelining: 1 });
  return (req, res) => {
    pool.dispatch({ method: 'GET', path: req.url ?? '/', headers: ['host', req.headers.host ?? ''] }, {
      onConnect() {},
      onHeaders(status: number, headers: Buffer[]) {
        const flat = headers
          .map(String)
          .filter((_, index, all) => !/^(connection|keep-alive)$/i.test(all[index - (index % 2)] ?? ''));
        res.writeHead(status, flat);
        return true;
      },
      onData: (chunk: Buffer) => res.write(chunk),
      onComplete: () => void res.end(),
      onError: () => void res.destroy(),
    } as never);
  };
}

const server = createServer(handler());
server.listen(Number(PORT), HOST, () => {
  const address = server.address();
  if (typeof address === 'object' && address) console.log(JSON.stringify({ msg: 'listening', port: address.port }));
});
