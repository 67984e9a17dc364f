# dalli's choices: ruby dalli.rb SERVERS KEYS; see libmemcached.c for what is read and printed. "successors" are the
# servers that it tries when each one before is out.
require 'dalli'

Node = Struct.new(:name, :weight, :index, :alive) do
  def alive? = alive
end

nodes = File.readlines(ARGV[0], chomp: true).each_with_index.map do |line, index|
  host, port, weight = line.split
  Node.new(host.start_with?('/') ? host : "#{host}:#{port}", weight.to_i, index, true)
end
keys = File.readlines(ARGV[1], chomp: true)
ring = Dalli::Ring.new(nodes, threadsafe: false)
puts "distribution=dalli\t" + keys.map { |key| ring.server_for_key(key).index }.join(' ')

# The first three different servers of a key.
order = lambda do |key|
  found = []
  while found.size < [3, nodes.size].min
    nodes.each { |node| node.alive = !found.include?(node.index) }
    server = ring.server_from_continuum(key) or break
    found << server.index
  end
  nodes.each { |node| node.alive = true }
  found.fill(-1, found.size...3)
end
puts "distribution=dalli successors\t" + keys.flat_map(&order).join(' ') if nodes.size > 2
