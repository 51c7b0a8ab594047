CREATE EXTENSION btree_gist;
CREATE TABLE room (id int, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE booking (room_id int, at daterange, FOREIGN KEY (room_id, PERIOD at) REFERENCES room (id, PERIOD at));
