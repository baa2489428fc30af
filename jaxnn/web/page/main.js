// The start of the lab's page.

import { start } from "./page.js";
import { Server } from "./server.js";

start(new Server());
