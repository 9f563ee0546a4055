// Each file here exports what we use of one library. The build puts the library into the compiled file (`bundle` in package.json).
export { default as fastify } from 'fastify';
