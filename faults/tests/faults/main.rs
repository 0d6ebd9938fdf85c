//! Real processes under real faults: what the ordinary test run does of each, in small.

mod damage;
