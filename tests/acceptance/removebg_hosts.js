// What /etc/hosts and a redirected port do, for this process alone.
const tls = require("tls"), connect = tls.connect;
tls.connect = (options, ...rest) => connect(options.host === process.env.FROM_HOST
  ? { ...options, host: "127.0.0.1", port: Number(process.env.TO_PORT), servername: process.env.FROM_HOST }
  : options, ...rest);
