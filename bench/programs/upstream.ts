import { createServer } from 'node:http';

// The upstream where nginx is not installed: twelve bytes for everything, on HOST and PORT.

const { HOST = '127.0.0.1', PORT = '0' } = process.env;

createServer({ keepAliveTimeout: 3_600_000 }, (_req, res) => void res.end('hello world\n')).listen(Number(PORT), HOST);
