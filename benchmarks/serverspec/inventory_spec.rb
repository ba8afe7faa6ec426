# What the inventory declares, without a look at any machine.
require_relative 'spec_helper'

EXPECTED['guests'].each do |guest|
  describe "#{guest['name']} as declared" do
    # clause identity.mac-namespace: mac_says_its_place, mac_is_local_and_unicast, mac_is_nobody_elses
    it 'has a MAC that says its place' do
      space = EXPECTED['mac_namespace']
      role, group = space['roles'][guest['category']], space['groups'][guest['group']]
      expect(guest['mac']).to eq "#{space['prefix']}:#{space['environment']}:#{role}:#{group}:#{format('%02x', guest['index'])}"
    end

    it('has a local unicast MAC') { expect(guest['mac'][0, 2].hex & 3).to eq 2 }
    it("has nobody else's MAC") { expect(EXPECTED['declared_macs'].count(guest['mac'])).to eq 1 }

    # clause network.no-core-services: declares_no_core_service
    it 'has no core service' do
      expect(guest['services'].flat_map { |one| one['tcp'] + one['udp'] } & EXPECTED['core_ports']).to eq []
    end

    # clause separation.category: is_declared_with_one_category
    it('has one category') { expect(EXPECTED['categories']).to include guest['category'] }

    # clause service.healthy: its_services_are_declared
    it('has services') { expect(guest['services']).not_to be_empty }
  end
end

EXPECTED['responsibilities'].each do |responsibility|
  describe responsibility do
    # clause separation.coverage: is_carried_or_planned
    it 'is carried or planned' do
      expect(EXPECTED['guests'].flat_map { |one| one['responsibilities'] } + EXPECTED['planned'].keys).to include responsibility
    end
  end
end
