import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';

// The barest relay of http-proxy: `http-proxy.js UPSTREAM PORT`.

const [, , upstream = '', port = '0'] = process.argv;
const proxy = httpProxy.createProxyServer({ target: upstream, agent: new Agent({ keepAlive: true }) });

createServer((req, res) => {
  proxy.web(req, res, undefined, (error) => void res.writeHead(502).end(error.message));
}).listen(Number(port), '127.0.0.1');
