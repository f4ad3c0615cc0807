//! The HTTP door over real sockets, before a real engine and a store in memory: hostile bytes, limits, tenants, rates,
//! secrets, and what is read back.

mod alibaba;
mod alibaba_chat;
mod alibaba_logs;
mod alibaba_notify;
mod alibaba_sound;
mod away;
mod browsers;
mod doors;
mod extracts;
mod feed;
mod fuzz;
mod happyrobot;
mod happyrobot_more;
mod ids;
mod limits;
mod mutations;
mod numbers;
mod privacy;
mod rates;
mod reading;
mod replays;
mod support;
mod tenants;
mod tencent;
mod tencent_push;
mod tencent_rules;
mod tencent_tasks;
mod transfers;
mod vendor_tenants;
mod zero;
